"""Words that are derived from code, or shown as code, are true."""

import re
from pathlib import Path

from torchgeo_ext.operations._pages import HELP, pages

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_generated_pages_are_up_to_date():
    for name, text in pages(README).items():
        assert (ROOT / name).read_text(encoding='utf-8') == text, 'run "make docs"'
    assert {p.name for p in (ROOT / HELP).iterdir()} == {
        p.name for p in pages(README) if p.parent == HELP
    }


def test_the_example_package_of_the_readme_is_the_one_that_is_tested():
    shown = next(b for b in re.findall(r'```python\n(.*?)```', README, re.DOTALL) if 'heron' in b)
    real = (ROOT / 'tests' / 'third_party' / 'heron' / 'heron.py').read_text(encoding='utf-8')
    assert real.split('\n\n', 1)[1] == shown.split('\n', 1)[1]


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r'\]\((?!https?:)([^)#]+)\)', README):
        assert (ROOT / target).exists(), target


def test_make_help_lists_every_word_of_the_readme():
    makefile = (ROOT / 'Makefile').read_text()
    for word in re.findall(r'`make ([a-z-]+)`', README):
        assert re.search(rf'^{word}:', makefile, re.MULTILINE), word
