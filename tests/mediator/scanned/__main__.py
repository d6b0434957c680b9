raise AssertionError("scanning must not run a program")
