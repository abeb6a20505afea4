"""Human studies: build, serve, score, plan, simulate (design.py says what a study is; read it first)."""
