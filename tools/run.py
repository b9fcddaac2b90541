"Execute notebooks in place, keeping the stored outputs of cells whose flag is skipped here."
import argparse, os
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.config import get_config
from nbdev.process import NBProcessor

def run(fn, force=()):
    cfg, fn = get_config(), Path(fn).absolute()
    skip = set(cfg.tst_flags.split()) - set(force)
    proc = NBProcessor(fn, rm_directives=False, process=True)
    for c in proc.nb.cells:
        if c.cell_type == 'code': c.outputs = []  # a cell that prints nothing any more has nothing stored
    os.environ['IN_TEST'] = '1'
    k = CaptureShell(fn)
    with working_directory(fn.parent):
        k.run_all(proc.nb, exc_stop=True, preproc=lambda c: c.cell_type!='code' or bool(skip & c.directives_.keys()))
    nb = read_nb(fn)
    for c, d in zip(nb.cells, proc.nb.cells):
        if c.cell_type == 'code' and not skip & d.directives_.keys(): c.outputs = d.get('outputs', [])
    write_nb(nb, fn)

if __name__ == '__main__':
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument('notebooks', nargs='+')
    args.add_argument('--force', action='append', default=[], help='run cells with this flag as well (cuda, slow)')
    args = args.parse_args()
    for f in args.notebooks: run(f, args.force)
