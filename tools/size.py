"""How large the library is: files, functions and classes, statements, and tokens (no comments, line ends, indentation).

    python tools/size.py            # the whole, and each package
    python tools/size.py --modules  # each module too
"""
import argparse, ast, io, tokenize
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]/'lambda_darts'
BESIDE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def size(source):
    "Functions and classes, statements, tokens of one source"
    nodes = list(ast.walk(ast.parse(source)))
    defined = sum(isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for n in nodes)
    statements = sum(isinstance(n, ast.stmt) for n in nodes)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return defined, statements, sum(t.type not in BESIDE for t in tokens)


def total(files):
    "Files, and the sum of their sizes"
    sizes = [size(f.read_text(encoding='utf-8')) for f in files]
    return len(files), *map(sum, zip(*sizes))


def line(name, files):
    return '{:24}{:>4} files{:>6} functions and classes{:>7,} statements{:>8,} tokens'.format(name, *total(files))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--modules', action='store_true', help='each module too')
    each = args.parse_args().modules
    files = sorted(f for f in LIBRARY.rglob('*.py') if f.name != '_modidx.py')
    print(line('all', files))
    for folder in sorted({f.parent for f in files} - {LIBRARY}):
        own = [f for f in files if f.parent == folder]
        print(line(folder.name, own))
        for f in own if each else []: print(line(f'  {f.stem}', [f]))


if __name__ == '__main__': main()
