"""The Glulam server: a registry of LoRA adapters that knows what builds on what."""
