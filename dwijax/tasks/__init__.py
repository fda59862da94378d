"""What the networks of a stack see, what each must produce, and how that is judged."""
