"""Work that takes long: tasks into the parts of a folder, resumable, on this machine or on a cluster."""
