"""What the Hub's clients push becomes commits and versions."""
