"""Publishes artifacts in the layout of the Hugging Face Hub: files that its libraries open, a card, and provenance.

documents.py   documents as a data set: Parquet, data card, Croissant
others.py      tokens, models and results
croissant.py   Croissant metadata of a data set
card.py        README.md with the front matter that the Hub reads
target.py      a folder, or a repository of the Hub
"""
