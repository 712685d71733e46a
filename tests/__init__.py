"""Tests of hookmq against programs that others wrote. README.md says what each proves, needs and costs."""
