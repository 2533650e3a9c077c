# wild.sh: tests/real/wild.py under tests/run-shell.
exec /usr/bin/python3 tests/real/wild.py
