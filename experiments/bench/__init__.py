"""Our speed beside others', and what they are measured against: a module a suite of `quintet bench`."""
