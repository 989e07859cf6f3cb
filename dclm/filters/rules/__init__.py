"""Heuristic quality rules over whole documents."""
