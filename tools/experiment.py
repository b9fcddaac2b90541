"""Start or go on with a run of the experiment of figure 1, or measure what α hears in a finished one.

    python tools/experiment.py ARM SEED [--data FOLDER] [--out FOLDER] [--epochs N] [--until EPOCH] [--compile]
    python tools/experiment.py hears ARM SEED

The arms are the table ARMS in tools/arms.py. FOLDER holds cifar10.npz (32×32) or cifar10_16.npz; the table and the
halves of NAS-Bench-201 (nasbench201.csv.gz, nasbench201_splits.npz) lie there too, or in the folder that the variable
LAMBDA_DARTS_DATA names.
The run works in runs/figure1/ARM-sSEED and goes on there where it was broken off. At the end its history stands in
nbs/experiments/results/figure1/ARM-sSEED.csv; its row in index.csv there says `unfinished` until then.
"""
import os

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ['OMP_NUM_THREADS'] = '1'  # before torch is imported: results hold for one thread
import argparse, sys
from pathlib import Path

import pandas as pd
import torch
from arms import ARMS, ArmSearch, cifar, settings, shared
from filelock import FileLock
from hears import write_hears
from outcomes import with_outcomes
from record import ROOT, facts

from lambda_darts.core.files import write_text

RESULTS = ROOT/'nbs'/'experiments'/'results'/'figure1'
RUNS = ROOT/'runs'/'figure1'


def note(results, arm, seed, **row):
    "Write the run's row of the index in place of the one it had"
    results.mkdir(parents=True, exist_ok=True)
    file, row = results/'index.csv', dict(arm=arm, seed=seed) | row
    with FileLock(ROOT/'runs'/'index.lock'):
        rows = pd.read_csv(file).to_dict('records') if file.exists() else []
        rows = [r for r in rows if (r['arm'], r['seed']) != (arm, seed)] + [row]
        order = list(ARMS)
        rows.sort(key=lambda r: (order.index(r['arm']) if r['arm'] in order else len(order), r['seed']))
        write_text(file, pd.DataFrame(rows).to_csv(index=False))


def standing(search):
    "The row's part that changes with the epochs"
    state = 'finished' if search.finished else 'unfinished'
    seconds = sum(r['seconds'] for r in search.rows)
    return dict(state=state, epochs=len(search.rows), of=search.config.epochs, minutes=round(seconds/60, 1))


def run(search, results, until=None):
    "Run the search to its end, or to epoch `until`; its row says where it stands, its history is stored at the end"
    arm, seed, made = search.arm, search.config.seed, facts()
    def after(s): note(results, arm, seed, **standing(s), **made)
    search.after = after
    search.after(search)
    search.run(until)
    search.after(search)
    if search.finished:
        history = pd.read_csv(search.out/'history.csv')
        if search.truth is not None: history = with_outcomes(history, search.truth.frame)
        write_text(results/f'{arm}-s{seed}.csv', history.to_csv(index=False))
    return search


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('arm', nargs='+', help=f"hears, and one of {', '.join(ARMS)}; then the seed")
    parser.add_argument('--data', default=os.environ.get('LAMBDA_DARTS_DATA', 'data'), help='folder of the images')
    parser.add_argument('--out', type=Path, help='folder for results and runs, for trying out')
    parser.add_argument('--epochs', type=int, help='length of the whole run, for trying out')
    parser.add_argument('--compile', action='store_true', help='torch.compile where first derivatives are enough')
    parser.add_argument('--until', type=int, help='stop after this epoch')
    args = parser.parse_args()
    *what, arm, seed = args.arm if len(args.arm) > 1 else parser.error('an arm and a seed are needed')
    if what not in ([], ['hears']) or not seed.isdigit():
        parser.error(f'ARM SEED or hears ARM SEED is needed, got {" ".join(args.arm)}')
    if args.epochs and not args.out: parser.error('--epochs is for trying out: give --out, a folder for that')
    args.what, args.arm, args.seed = what, arm, int(seed)
    return args


def main():
    args = options()
    settings(args.arm)
    torch.set_num_threads(1)
    results, runs = (args.out/'results', args.out/'runs') if args.out else (RESULTS, RUNS)
    data, table = cifar(args.data), shared('nasbench201.csv.gz', args.data)
    given = dict(epochs=args.epochs) if args.epochs else {}
    search = ArmSearch(args.arm, args.seed, data, runs/f'{args.arm}-s{args.seed}', table, args.compile, **given)
    if args.what: write_hears(search, results)
    else:
        run(search, results, args.until)
        state = f'unfinished: {len(search.rows)} of {search.config.epochs} epochs'
        print(search.summary() if search.finished else state)


if __name__ == '__main__':
    try: main()
    except (ValueError, FileNotFoundError) as e: sys.exit(f'error: {e}')
