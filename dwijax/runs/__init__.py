"""A run: its folder, description, checkpoints, exported file and model card."""
