"""What an operator can type: one module per command, each imported when it runs."""
