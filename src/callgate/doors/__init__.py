"""The doors: each turns a protocol into a call, and a reply into that protocol. No door decides."""
