"What a reader installs: a wheel made from the sdist, imported from outside the source tree."
import os, shutil, subprocess, sys
from configparser import ConfigParser
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INI = ConfigParser(delimiters=['='])
INI.read(ROOT/'settings.ini', encoding='utf-8')
CFG = INI['DEFAULT']
MODULES = sorted(f'{p.parent.name}.{p.stem}' for p in (ROOT/'lambda_darts').glob('*/*.py'))


def run(*cmd, **kwargs):
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    streams = dict(text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    res = subprocess.run(list(map(str, cmd)), env=env, **streams, **kwargs)
    assert res.returncode == 0, res.stdout
    return res.stdout


@pytest.fixture(scope='module')
def target(tmp_path_factory):
    "A folder that holds the installed package and nothing else; made without network"
    tmp = tmp_path_factory.mktemp('pack')
    source, target = tmp/'source', tmp/'target'
    source.mkdir()
    for f in ROOT.glob('*'):
        if f.is_file(): shutil.copy2(f, source)
    shutil.copytree(ROOT/'lambda_darts', source/'lambda_darts', ignore=shutil.ignore_patterns('__pycache__'))
    run(sys.executable, '-c', f'from setuptools import build_meta; build_meta.build_sdist({str(tmp)!r})', cwd=source)
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
    run(*pip, 'wheel', '--no-index', '--no-deps', '--no-build-isolation', '-w', tmp, *tmp.glob('*.tar.gz'), cwd=tmp)
    run(*pip, 'install', '--no-index', '--no-deps', '--target', target, *tmp.glob('*.whl'), cwd=tmp)
    return target


def test_every_module_imports(target):
    code = f'''import importlib, sys
sys.path.insert(0, {str(target)!r})
for m in {MODULES!r}:
    m = importlib.import_module('lambda_darts.' + m.removesuffix('.__init__'))
    assert m.__file__.startswith({str(target)!r}), m.__file__
    for name in m.__all__ if hasattr(m, '__path__') else (): getattr(m, name)
'''
    run(sys.executable, '-I', '-c', code, cwd=target)


def test_metadata(target):
    dist, = distributions(path=[str(target)])
    assert dist.metadata['Name'] == 'lambda_darts' and dist.version == CFG['version']
    assert set(dist.metadata.get_all('Provides-Extra')) == {'dev', 'draw', 'nasbench', 'onnx', 'tensorboard'}
    scripts = {e.name: e.value for e in dist.entry_points if e.group == 'console_scripts'}
    assert scripts == dict(s.split('=') for s in CFG['console_scripts'].split())
    assert [e.value for e in dist.entry_points if e.group == 'nbdev'] == ['lambda_darts._modidx:d']
    assert any(f.name == 'LICENSE' for f in dist.files)
    assert dist.metadata.get_payload().strip() or dist.metadata['Description']  # README.md


def test_version(target):
    code = f'import sys; sys.path.insert(0, {str(target)!r}); import lambda_darts; print(lambda_darts.__version__)'
    assert run(sys.executable, '-I', '-c', code, cwd=target).strip() == CFG['version']
