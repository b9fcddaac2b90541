"Every setting lives in settings.ini; edit there, not here."
from configparser import ConfigParser
from pathlib import Path
from shlex import split
from setuptools import find_packages, setup

root = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(root/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
lib = cfg['lib_path']

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'],
    author=cfg['author'], author_email=cfg['author_email'], keywords=cfg['keywords'],
    license=cfg['license'], url=cfg['git_url'],
    classifiers=['Intended Audience :: '+cfg['audience'], 'Programming Language :: Python :: 3'],
    packages=find_packages(include=[lib, f'{lib}.*']), include_package_data=True, zip_safe=False,
    python_requires='>='+cfg['min_python'],
    install_requires=split(cfg.get('requirements', '')),
    extras_require={k.removesuffix('_requirements'): split(v) for k, v in cfg.items() if k.endswith('_requirements')},
    entry_points={'console_scripts': split(cfg.get('console_scripts', '')),
                  'nbdev': [f'{lib}={lib}._modidx:d']},
    long_description=(root/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
)
