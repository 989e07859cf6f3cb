"""The interface of `import dclm` for notebooks and scripts.

stages.py      curate, evaluate, run: make an artifact and return it opened
training.py    tokenize and train
artifacts.py   opened artifacts: documents with their ledger, tokens, checkpoints, scores, run directories
judgments.py   compare and predict
table.py       rows as Arrow, pandas, polars or datasets
html.py        how all of them are displayed in Jupyter
"""
