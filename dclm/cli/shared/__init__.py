"""What all commands share: options, output, hints."""
