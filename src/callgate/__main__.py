"""``python -m callgate``: the command line."""

from callgate.doors.cli import main

main()
