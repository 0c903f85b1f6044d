"""The parts of tests/bench/serve: whole servers side by side."""
