"What a stored result says about itself: command, commit, versions, machine."
import importlib.metadata, json, os, platform, shlex, subprocess, sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def git(*args): return subprocess.run(['git', *args], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def command():
    "The command of this process; of absolute paths the last part, or what follows the project's folder"
    def short(arg): return os.path.relpath(arg, ROOT) if Path(arg).is_relative_to(ROOT) else Path(arg).name
    script, *args = sys.argv
    return shlex.join(['python', short(os.path.abspath(script)), *(short(a) if os.path.isabs(a) else a for a in args)])


def cpu():
    "The processor's model"
    try: lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError: return platform.processor()
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def facts():
    "Where and by what a result is made; `clean`: the code is as in the commit"
    versions = {p: importlib.metadata.version(p) for p in ('torch', 'numpy')} | dict(python=platform.python_version())
    versions = ' '.join(f'{k} {v}' for k, v in versions.items())
    clean = not git('status', '--porcelain', '--', 'lambda_darts', 'tools')
    return dict(command=command(), commit=git('rev-parse', 'HEAD'), clean=clean, versions=versions,
                threads=torch.get_num_threads(), cpu=cpu())


def about(**more): return json.dumps(facts() | more, indent=1) + '\n'
