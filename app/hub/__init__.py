"""The Hugging Face Hub wire protocol: a second face on the same services."""
