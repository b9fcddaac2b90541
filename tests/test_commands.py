"The commands as a person uses them: as processes, killed and started again, given wrong things, given own images."
import importlib.util, json, os, re, shutil, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from lambda_darts.cli import commands as cli

ROOT = Path(__file__).resolve().parents[1]
SEARCH, RETRAIN, PREDICT, EXPORT = (f'lambda_darts_{c}' for c in ('search', 'retrain', 'predict', 'export'))
QUERY, DRAW, BENCH, WATCH = 'lambda_darts_query', 'lambda_darts_draw', 'lambda_darts_bench', 'lambda_darts_watch'
SMALL = ('--channels', 2, '--cells', 1, '--quiet')
EPOCHS = 15
RUN = (*SMALL, '--batch_size', 128, '--epochs', EPOCHS)
ARCH = '|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|avg_pool_3x3~2|'


def command(name, *args):
    "The console script beside this Python, or what that script would do"
    script = Path(sys.executable).with_name(name)
    start = [script] if script.exists() else [sys.executable, '-c',
                                              f'from lambda_darts.cli.commands import {name}; {name}()']
    return [*map(str, [*start, *args])]


def environment(encoding='utf-8'):
    "This checkout's library in one thread: the same numbers each time"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'PYTHONIOENCODING': encoding}


def start(cmd, cwd, encoding='utf-8', stdout=subprocess.PIPE, **kwargs):
    return subprocess.Popen(cmd, cwd=cwd, env=environment(encoding), encoding=encoding, stdout=stdout,
                            stderr=subprocess.PIPE, **kwargs)


def run(name, *args, cwd):
    "Exit status, standard output and standard error"
    process = start(command(name, *args), cwd)
    out, err = process.communicate()
    return process.returncode, out, err


def ok(name, *args, cwd):
    "Standard output of a command that ends well and complains about nothing"
    status, out, err = run(name, *args, cwd=cwd)
    assert (status, err) == (0, ''), err
    return out


SESSION = '''import contextlib, io, json, sys, traceback
from lambda_darts.cli import commands as cli
def one(name, *args):
    sys.argv, status, out, err = [name, *args], 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: getattr(cli, name)()
        except SystemExit as e: status = e.code or 0
        except BaseException: traceback.print_exc(); status = 1
    return status, out.getvalue(), err.getvalue()
print(json.dumps([one(*line) for line in json.load(sys.stdin)]))'''


def session(lines, cwd):
    "`run` for many commands, one after the other in one process: most of a short command's time is the import of torch"
    process = start([sys.executable, '-c', SESSION], cwd, stdin=subprocess.PIPE)
    out, err = process.communicate(json.dumps([[str(a) for a in l] for l in lines]))
    assert (process.returncode, err) == (0, ''), err
    return json.loads(out)


def tree(folder):
    "Every file below `folder`, hidden ones too, with its bytes and the time of its last change"
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) if p.is_file() else None
            for p in Path(folder).rglob('*')}


def same(a, b):
    "Are two nested values equal to the last bit?"
    if type(a) is not type(b): return False
    if isinstance(a, torch.Tensor): return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict): return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(same, a, b))
    return a == b or a != a and b != b


def untimed(folder): return pd.read_csv(folder/'history.csv', dtype=str, keep_default_na=False).drop(columns='seconds')


def assert_same_search(a, b):
    "Two run folders hold the same search, except for the time it took"
    x, y = (torch.load(d/'checkpoint.pt', weights_only=True) for d in (a, b))
    for state in x, y:
        for row in state['history']: del row['seconds']
    assert any('alpha' in k for k in x['net']) and len(x['history']) == EPOCHS
    assert not [k for k in x.keys() | y.keys() if not same(x.get(k), y.get(k))]
    assert untimed(a).equals(untimed(b))
    for name in ('genotype.json', 'cell.svg',
                 'config.json'): assert (a/name).read_bytes() == (b/name).read_bytes(), name
    assert sorted(p.name for p in a.iterdir()) == sorted(p.name for p in b.iterdir())


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    "A finished run folder, and what its search printed"
    cwd = tmp_path_factory.mktemp('unbroken')
    out = ok(SEARCH, *RUN, '--out', 'run', cwd=cwd)
    return cwd/'run', out


@pytest.fixture
def finished(unbroken, tmp_path):
    "A copy of it, in a folder to run commands in"
    shutil.copytree(unbroken[0], tmp_path/'run')
    return tmp_path


# Moments to kill at: the name of a file being written, or a new row in history.csv and then this share of an epoch
MOMENTS = ('checkpoint.pt', 0, .25, 'checkpoint.previous.pt', .6, 'checkpoint.pt', .8, 0, .45, 'checkpoint.pt')


def rows(folder):
    "Epochs in history.csv, and the seconds the last one took"
    try: history = pd.read_csv(folder/'history.csv')
    except FileNotFoundError: return 0, 0.
    return len(history), history.seconds.iloc[-1]


def kill_at(moment, process, folder):
    "Wait for `moment` and kill; a file that is written too quickly to be seen is given up after two epochs"
    before, half_written = rows(folder)[0], lambda: list(folder.glob(f'.{moment}.*.part'))
    while process.poll() is None:
        n, seconds = rows(folder)
        if isinstance(moment, str) and half_written() or n >= before + 1 + isinstance(moment, str):
            if not isinstance(moment, str): time.sleep(moment*seconds)
            return process.kill()
        for _ in range(20):  # rows are read rarely, files looked for often
            if isinstance(moment, str) and half_written(): break
            time.sleep(.0002)


def test_killed_ten_times(unbroken, tmp_path):
    "The same command, with `-` for `_`, killed and started again, ends where the unbroken one does"
    folder, args = tmp_path/'run', [str(a).replace('batch_size', 'batch-size') for a in (*RUN, '--out', 'run')]
    for moment in MOMENTS:
        process = start(command(SEARCH, *args), tmp_path)
        kill_at(moment, process, folder)
        _, err = process.communicate()
        assert (process.returncode, err) == (-signal.SIGKILL, ''), (moment, err)
        assert len(list(folder.glob('.*.part'))) <= 1  # the start after a kill has removed what that had left
    assert rows(folder)[0] < EPOCHS
    (folder/'.checkpoint.pt.1.part').write_bytes(b'half')
    assert ok(SEARCH, *args, cwd=tmp_path) == unbroken[1]
    assert not list(folder.glob('.*'))
    assert_same_search(unbroken[0], folder)


def test_truncated_checkpoint(unbroken, finished):
    path = finished/'run'/'checkpoint.pt'
    os.truncate(path, path.stat().st_size//2)
    before = tree(finished)
    status, out, err = run(SEARCH, *RUN, '--out', 'run', cwd=finished)
    assert status == 2 and err.count('\n') == 1, err
    assert str(Path('run')/'checkpoint.pt') in err and 'checkpoint.previous.pt' in err, err
    assert tree(finished) == before
    os.replace(finished/'run'/'checkpoint.previous.pt', path)
    assert torch.load(path, weights_only=True)['history'][-1]['epoch'] == EPOCHS - 1
    assert ok(SEARCH, *RUN, '--out', 'run', cwd=finished) == unbroken[1]
    assert_same_search(unbroken[0], finished/'run')


def test_finished_says_it_again(unbroken, finished):
    before = tree(finished)
    assert ok(SEARCH, *RUN, '--out', 'run', cwd=finished) == unbroken[1]
    after = tree(finished)
    for name in ('checkpoint.pt', 'checkpoint.previous.pt', 'config.json'):
        assert after[str(Path('run')/name)] == before[str(Path('run')/name)]
    assert {k: v and v[1] for k, v in after.items()} == {k: v and v[1] for k, v in before.items()}


def wrong_things(cwd):
    "Files no search can start from"
    digits = load_digits()
    x, y = digits.images[:200].astype(np.uint8), digits.target[:200]
    arrays = dict(good=(x, y), pickled=(x, y.astype(object)), floats=(x/16, y), float_labels=(x, y/2),
                  longer=(x, np.append(y, 1)),
                  one_class=(x, 0*y), below_0=(x, y - 1), none=(x[:0], y[:0]), few=(x[:9], y[:9]),
                  sorted=(x, np.sort(y)), flat=(x.reshape(200, -1), y))
    for name, (images, labels) in arrays.items(): np.savez(cwd/f'{name}.npz', train_images=images, train_labels=labels)
    np.savez(cwd/'keyless.npz', pictures=x, classes=y)
    np.savez(cwd/'overlap.npz', train=np.arange(100), valid=np.arange(99, 200))
    (cwd/'cut.npz').write_bytes((cwd/'good.npz').read_bytes()[:5000])
    for name in ('pictures/a/1.png', 'pictures/b/1.png', 'lonely/a/1.png'):
        (cwd/name).parent.mkdir(parents=True)
        Image.fromarray(x[0]).save(cwd/name)
    (cwd/'pictures'/'b'/'1.png').write_bytes(b'no image')
    (cwd/'empty').mkdir()
    (cwd/'a_file').write_text('')
    for name, text in {'columns.csv': 'arch,accuracy\n', 'rowless.csv': 'arch,c10_test_200\n',
                       'part.csv': f'arch,c10_test_200\n{ARCH},91.5\n',
                       'percent.csv': f'arch,c10_test_200\n{ARCH},915\n',
                       'broken.json': '{"space": "nb201"'}.items(): (cwd/name).write_text(text)


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252'])
def test_terminals_of_other_letters(finished, encoding):
    "What a terminal cannot show is replaced; a finished search ends well"
    for line in ((SEARCH, *RUN, '--out', 'run'), (SEARCH, '--help'), (WATCH, 'run', '--once')):
        process = start(command(*line), finished, encoding)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, '') and '?' in out, (line, err)


@pytest.mark.parametrize('line', [('--help',), (*RUN, '--out', 'run')])
def test_nobody_reads(finished, line):
    "A broken pipe, as `| head -1` leaves it, ends quietly"
    reader, writer = os.pipe()
    os.close(reader)
    process = start(command(SEARCH, *line), finished, stdout=writer)
    os.close(writer)
    _, err = process.communicate()
    assert process.returncode in (0, 128 + signal.SIGPIPE) and err == ''


def test_folders_of_others(tmp_path):
    "Searches, seeds and trainings leave a folder with other files as it is"
    (tmp_path/'project').mkdir()
    for name in ('config.json', 'history.csv', '.download.part'): (tmp_path/'project'/name).write_text('{"my": 1}')
    before = tree(tmp_path)
    short = ('--epochs', 1, *SMALL, '--out', 'project')
    lines = [(SEARCH, *short), (SEARCH, *short, '--seeds', 0, 1), (RETRAIN, ARCH, *short)]
    for line, (status, _, err) in zip(lines, session(lines, tmp_path), strict=True):
        assert status == 2 and err.count('\n') == 1 and 'out project is not empty and holds no' in err, (line, err)
    assert tree(tmp_path) == before


SEARCH_MISTAKES = {  # options: what the one line must say
    '--out a_file': 'a_file', '--out a_file/run': 'a_file', '--space nb301': 'nb201', '--regularizer l2': 'cosine',
                   '--preset fast': 'quick',
    '--method nas': 'darts-2nd', '--method darts-minus --space s4': 'skip_connect',
                   '--regularizer none --strength 1': 'needs a regularizer',
    '--rise 0': 'share of the search', '--weight_decay -1': 'weight_decay', '--epochs 0': 'epochs', '--lr nan': 'lr',
                   '--seed -1': 'seed', '--device tpu': 'cuda', '--batch-size 1000': 'batch of 1000',
    '--data absent.npz': 'absent.npz', '--data absent/folder': 'absent', '--data CIFAR10 --root nowhere': '--download',
    '--data pickled.npz': 'pickled', '--data keyless.npz': 'train_images', '--data cut.npz': 'cut.npz',
                   '--data floats.npz': 'uint8',
    '--data float_labels.npz': 'integer', '--data longer.npz': '201 labels', '--data one_class.npz': '1 class',
                   '--data below_0.npz': 'count from 0',
    '--data none.npz': '0 class', '--data few.npz': 'no image of class', '--data flat.npz': '3 or 4 axes',
                   '--data a_file': 'a_file',
    '--data good.npz --split overlap.npz': 'overlap', '--data good.npz --split good.npz': 'train and valid',
                   '--data good.npz --size 3': 'too small',
    '--data pictures': 'not an image', '--data lonely': '1 class', '--data empty': 'folder of images per class',
                   '--data digit': 'unknown data', '--data sorted.npz --split ordered': 'no image of class',
    '--table columns.csv': 'c10_test_200', '--table rowless.csv': 'no row', '--table percent.csv': 'percentage',
                   '--table empty': 'empty',
    '--table good.npz': 'good.npz'}
if not torch.cuda.is_available(): SEARCH_MISTAKES['--device cuda'] = 'no CUDA device'
if importlib.util.find_spec('tensorboard') is None: SEARCH_MISTAKES['--tensorboard'] = 'lambda_darts[tensorboard]'
QUERY_MISTAKES = {
    (ARCH,): '--table', (ARCH, '--table', 'absent.csv'): 'absent.csv', (ARCH, '--table', 'columns.csv'): 'c10_test_200',
    **{(cell, '--table', 'part.csv'): says for cell, says in (
        (ARCH[:-1], '|op~0|'), (ARCH.replace('3x3', '5x5'), 'nor_conv_3x3'),
                                                              (ARCH.replace('none', 'skip_connect'), 'part.csv'),
        ('nothing', 'nothing'), ('empty', 'genotype.json'), ('broken.json', 'broken.json'), ('a_file', 'a_file'))}}


def test_mistakes(tmp_path):
    "Status 2, one line that names the mistake, and no file made or changed"
    wrong_things(tmp_path)
    before = tree(tmp_path)
    lines = {(SEARCH, *SMALL, '--epochs', 1, *line.split()): says for line, says in SEARCH_MISTAKES.items()}
    lines |= {(QUERY, *line): says for line, says in QUERY_MISTAKES.items()}
    results = session(lines, tmp_path)
    wrong = {' '.join(map(str, line)): res for (line, says), res in zip(lines.items(), results)
             if res[0] != 2 or res[2].count('\n') != 1 or not res[2].startswith(line[0]) or says not in res[2]
             or 'Traceback' in res[2]}
    assert not wrong
    assert tree(tmp_path) == before


OPTIONS = {SEARCH: 42, RETRAIN: 37, PREDICT: 6, EXPORT: 2, QUERY: 2, DRAW: 2, BENCH: 8, WATCH: 2}


@pytest.mark.parametrize('name', OPTIONS)
def test_help(name, tmp_path):
    "Every option is explained; nothing else is done"
    text = ok(name, '--help', cwd=tmp_path)
    names = [o.name for o in getattr(cli, name).options]
    assert name in text and len(names) == OPTIONS[name]
    assert not [k for k in names if not re.search(rf'^  (--)?{k.replace("_", "[-_]")}\b', text, re.M)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', OPTIONS)
def test_help_needs_no_heavy_library(name, tmp_path):
    "Who asks for help waits for torch and little else"
    heavy = {'pandas', 'matplotlib', 'sklearn', 'torchvision', 'ipywidgets'}
    (tmp_path/'ask.py').write_text(f"""import sys
from lambda_darts.cli.commands import {name}
sys.argv = ['{name}', '--help']
try: {name}()
except SystemExit: print(sorted(set(sys.modules) & {heavy}), file=sys.stderr)
""")
    process = start([sys.executable, 'ask.py'], tmp_path)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, '[]\n') and name in out


TRAINING = ('run', '--epochs', 6, '--channels', 4, '--cells', 1, '--quiet')


def test_from_images_to_answers(finished):
    "Search, train, ask: each goes on where it was killed, and ends where an unbroken one does"
    digits = load_digits()
    for i in range(5): Image.fromarray((digits.images[i]*15).astype(np.uint8)).save(finished/f'{i}.png')
    unbroken = ok(RETRAIN, *TRAINING, '--out', 'whole', cwd=finished)
    process, folder = start(command(RETRAIN, *TRAINING), finished), finished/'run'/'retrain'
    kill_at(.5, process, folder)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and 0 < rows(folder)[0] < 6
    assert ok(RETRAIN, *TRAINING, cwd=finished).replace('run/retrain', 'whole') == unbroken
    assert same(*(dict(sorted(load_file(f/'network.safetensors').items())) for f in (folder, finished/'whole')))
    for name in ('report.html', 'cell.svg', 'history.csv'): assert (folder/name).stat().st_size
    table = ok(PREDICT, 'run/retrain', *(f'{i}.png' for i in range(5)), '--top', 2, cwd=finished)
    assert table.count('.png') == 5 and 'probability_2' in table
    assert ok(EXPORT, 'run/retrain', '--out', 'network.pt2',
              cwd=finished) == 'network.pt2\n' and (finished/'network.pt2').stat().st_size


MISTAKES = {  # what is typed, and what the one line must say
    (RETRAIN, 'nowhere'): 'nowhere', (RETRAIN, ARCH, '--preset', 'fast'): 'paper-cifar',
            (RETRAIN, ARCH, '--epochs', 0): 'epochs',
    (RETRAIN, ARCH, '--data', 'absent.npz'): 'absent.npz', (PREDICT, 'empty', 'pictures'): 'network.safetensors',
            (PREDICT, 'a_file', 'pictures'): 'a_file',
    (EXPORT, 'empty'): 'network.safetensors', (BENCH, '--space', 'nb301'): 'nb201',
            (BENCH, '--size', 30): 'multiple of 4',
    (SEARCH, '--every', 0): 'every', (SEARCH, '--epoch_s', 3): 'did you mean --epochs?',
    (RETRAIN, ARCH, '--stem', 'imagnet'): 'did you mean imagenet?', (SEARCH, '--estimate', '--space', 's9'): 'nb201'}


def test_mistakes_of_the_others(tmp_path):
    wrong_things(tmp_path)
    before, results = tree(tmp_path), session(MISTAKES, tmp_path)
    for (line, says), (status, out, err) in zip(MISTAKES.items(), results):
        assert status == 2 and says in err and err.count('\n') == 1 and err.startswith(line[0]), (line, err)
    assert tree(tmp_path) == before


def test_estimate(tmp_path):
    "What a search needs, without a trace of it"
    text = ok(SEARCH, *SMALL, '--estimate', cwd=tmp_path)
    assert all(w in text for w in ('weights', 'memory', 'step', 'epoch', 'search')) and not list(tmp_path.iterdir())


def check_run(folder):
    "The files of a run of one epoch; its history"
    history = pd.read_csv(folder/'history.csv')
    assert history.epoch.tolist() == [1]
    cell = json.loads((folder/'genotype.json').read_text())
    assert cell['space'] == 'nb201' and '<svg' in (folder/'cell.svg').read_text(encoding='utf-8')
    return history


def test_own_images(tmp_path):
    "A folder of class folders, and arrays in an .npz file; options spelled with `-` and with `_`"
    digits = load_digits()
    x, y = (digits.images*15).astype(np.uint8), digits.target
    for label, name in enumerate(('nought', 'one', 'two')):
        (tmp_path/'digits_as_png'/name).mkdir(parents=True)
        for i, image in enumerate(x[y == label][:40]):
            Image.fromarray(image.repeat(2, 0).repeat(2, 1)).save(tmp_path/'digits_as_png'/name/f'{i}.png')
    np.savez(tmp_path/'arrays.npz', train_images=x[:300], train_labels=y[:300], test_images=x[300:340],
             test_labels=y[300:340])
    short = ('--epochs=1', '--channels', 2, '--quiet')
    png, npz = session([
        (SEARCH, '--data', 'digits_as_png', '--batch_size', 20, '--alpha-lr', 1e-3, *short, '--out', 'a',
         '--regularizer', 'sign'),
        (SEARCH, '--data', 'arrays.npz', '--batch-size=50', '--alpha_lr=1e-3', *short, '--gradient', 'exact')],
                       tmp_path)
    assert (png[0], png[2], npz[0], npz[2]) == (0, '', 0, ''), (png, npz)
    assert png[1].startswith('digits_as_png: 60 train, 60 valid, 0 test images of 1x16x16, 3 classes\na\n')
    assert npz[1].startswith('arrays: 150 train, 150 valid, 40 test images of 1x8x8, 10 classes\nruns')
    runs = [tmp_path/'a', *(tmp_path/'runs').iterdir()]
    assert len(runs) == 2
    for folder, size in zip(runs, (20, 50)):
        check_run(folder)
        config = json.loads((folder/'config.json').read_text())
        assert (config['batch_size'], config['alpha_lr'], config['channels'], config['epochs']) == (size, 1e-3, 2, 1)


def test_cifar10_with_the_table(tmp_path):
    "The true accuracy is reported for the cell of the epoch, and found again from the run's folder"
    here = os.environ.get('LAMBDA_DARTS_DATA')
    names = ('cifar10_small.npz', 'nasbench201.csv.gz')
    if not here or not all((Path(here)/n).is_file() for n in names):
        pytest.skip(f'needs {" and ".join(names)} in the folder that LAMBDA_DARTS_DATA names')
    data, table = (Path(here).resolve()/n for n in names)
    out = ok(SEARCH, '--data', data, '--size', 8, *SMALL, '--epochs', 1, '--table', table, '--regularizer', 'none',
             '--out', 'run', cwd=tmp_path)
    row = check_run(tmp_path/'run').iloc[0]
    truth = pd.read_csv(table).set_index('arch').loc[row.genotype]
    assert row.true_acc == truth.c10_test_200 and row['lambda'] == 0
    assert 'cifar10_small: 2500 train, 2500 valid, 1000 test images of 3x8x8, 10 classes' in out
    assert f'{row.true_acc:.2f} %' in out
    said = ok(QUERY, 'run', '--table', table, cwd=tmp_path)
    assert said.startswith(row.genotype)
    assert f'{truth.c10_test_200:.2f}' in said and f'{truth.in16_test_200:.2f}' in said
    assert ok(QUERY, row.genotype, '--table', table, cwd=tmp_path) == said