"""Steps that a user writes: a function or a `Step` class in a Python file, usually next to the pipeline that names it.

code.py       finds the file and hashes its source, which is part of a step's fingerprint
load.py       runs the source in this process, and in every worker that is sent a step made from it
function.py   a step from a plain function: `keep(text) -> bool`, on a text, a row or a batch
blame.py      reports an error in such code as the user's, with its line
"""
