"What a public project has beside its code: the workflows and the citation agree with settings.ini and with each other."
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
INI = ConfigParser(delimiters=['='])
INI.read(ROOT/'settings.ini', encoding='utf-8')
CFG = INI['DEFAULT']


def read(path): return yaml.safe_load((ROOT/path).read_text(encoding='utf-8'))


def commands(workflow):
    "Every shell command of a workflow"
    return [s['run'] for job in workflow['jobs'].values() for s in job['steps'] if 'run' in s]


def test_citation():
    cff = read('CITATION.cff')
    assert (cff['version'], cff['license'], cff['title']) == (CFG['version'], CFG['license'], CFG['lib_name'])
    assert cff['abstract'] == CFG['description'] and cff['repository-code'] == CFG['git_url']
    assert 'arXiv:2210.07998' in str(cff['preferred-citation'])


def test_the_tests_run_on_every_system_and_version():
    workflow = read('.github/workflows/tests.yml')
    matrix = workflow['jobs']['tests']['strategy']['matrix']
    assert {o.split('-')[0] for o in matrix['os']} == {'ubuntu', 'macos', 'windows'}
    assert matrix['python'][0] == CFG['min_python'] and len(matrix['python']) == 4
    assert {'pip install -e .[dev]', 'pytest'} <= set(commands(workflow))
    assert 'pip install -e . && lambda_darts_search' in commands(workflow)


def test_the_oldest_torch_is_the_one_that_settings_allow():
    run, = [c for c in commands(read('.github/workflows/tests.yml')) if 'torch==' in c]
    oldest = dict(re.findall(r'(torch|torchvision)==([\d.]+)', run))
    allowed = dict(re.findall(r'\b(torch|torchvision)>=([\d.]+)', CFG['requirements']))
    assert {k: v.rsplit('.', 1)[0] for k, v in oldest.items()} == allowed


@pytest.mark.parametrize('file', ['tests.yml', 'wheel.yml'])
def test_workflows_may_only_read(file): assert read(f'.github/workflows/{file}')['permissions'] == {'contents': 'read'}


def test_a_tag_builds_and_checks_the_wheel():
    workflow = read('.github/workflows/wheel.yml')
    assert workflow[True]['push']['tags'] == ['v*']  # `on` is read as a truth value by YAML 1.1
    assert any('twine check' in c for c in commands(workflow)) and 'python -m build' in commands(workflow)
