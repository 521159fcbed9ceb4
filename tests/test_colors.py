"""Classes get colours of their own, the usual ones where there are usual ones."""

from torchgeo_ext.colors import CONVENTIONS, PALETTE, choose_colors


def test_conventions_are_kept():
    water, forest = choose_colors(['Open water', 'mixed forest'])
    assert (water, forest) == ('#4477aa', '#117733')


def test_words_count_where_they_begin():
    assert choose_colors(['price'])[0] == PALETTE[0]


def test_colours_that_are_given_stay():
    assert choose_colors(['water', 'x'], {0: '#000000', 1: '#4477aa'}) == ['#000000', '#4477aa']


def test_no_two_classes_share_a_colour():
    names = [words[0] for words, _ in CONVENTIONS] * 2 + [f'class {i}' for i in range(60)]
    assert len(set(choose_colors(names))) == len(names)
