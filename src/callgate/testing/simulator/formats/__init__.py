"""What the simulated providers speak: one module a format, sharing nothing with the gate's own."""
