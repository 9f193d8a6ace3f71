"""What every benchmark stands on: hosts as namespaces, routers of ours and of others in them, and the measuring of
time, work, memory and bytes from outside, alike for all."""
