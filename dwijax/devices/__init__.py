"""Where the work is done: threads, processes, devices, memory, compiled programs."""
