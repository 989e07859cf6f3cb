"""The generated sample crawl."""
