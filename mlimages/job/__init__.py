"""Long-running jobs: tasks that write the parts of a folder, resumable, on this machine or on a cluster."""
