"""Every HTTP call that Glulam itself makes, through one guarded client."""
