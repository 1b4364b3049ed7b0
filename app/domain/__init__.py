"""The vocabulary: frozen values that every other part speaks. One noun, one file."""
