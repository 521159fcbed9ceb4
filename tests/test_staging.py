"""Outputs appear whole or not at all."""

import os
import subprocess

import pytest

from torchgeo_ext import staging
from torchgeo_ext.errors import BadParameter, NoSpace
from torchgeo_ext.staging import check_destination, staged


def test_a_file_appears_when_all_went_well(tmp_path):
    with staged(tmp_path / 'a.tif') as part:
        assert part.suffix == '.tif'
        part.write_text('new')
        assert not (tmp_path / 'a.tif').exists()
    assert (tmp_path / 'a.tif').read_text() == 'new'
    assert [p.name for p in tmp_path.iterdir()] == ['a.tif']


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_an_existing_output_survives_a_failure(tmp_path, kind):
    target = tmp_path / 'out'
    if kind == 'file':
        target.write_text('old')
    else:
        target.mkdir()
        (target / 'x').write_text('old')

    def fail_half_way():
        with staged(target) as part:
            if kind == 'file':
                part.write_text('half')
                part.with_name(part.name + '.aux.xml').write_text('half')
            else:
                part.mkdir()
                (part / 'x').write_text('half')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert (target if kind == 'file' else target / 'x').read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_a_folder_replaces_a_folder(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'old').touch()
    with staged(tmp_path / 'out') as part:
        part.mkdir()
        (part / 'new').touch()
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['new']
    assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_abandon_removes_what_is_unfinished(tmp_path):
    def end_half_way():
        with staged(tmp_path / 'a.tif') as part:
            part.write_text('half')
            staging.abandon()
            assert list(tmp_path.iterdir()) == []

    with pytest.raises(FileNotFoundError):
        end_half_way()


def test_missing_folder(tmp_path):
    with pytest.raises(BadParameter, match=r'polygons: the folder .*gone does not exist'):
        check_destination(tmp_path / 'gone' / 'a.gpkg', 'polygons')


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, where the system lets us have one."""
    if os.geteuid() != 0:
        pytest.skip('only root can mount a small file system')
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], check=False
    ).returncode
    if mounted:
        pytest.skip('this machine does not allow to mount a file system')
    yield folder
    subprocess.run(['umount', folder], check=True)


def test_a_full_disk_is_explained_and_nothing_is_lost(small_disk):
    (small_disk / 'a.bin').write_text('old')

    def write_too_much():
        with staged(small_disk / 'a.bin') as part:
            part.write_bytes(b'x' * 200_000)

    with pytest.raises(NoSpace, match=r'a\.bin: the disk is full') as caught:
        write_too_much()
    assert caught.value.hint
    assert (small_disk / 'a.bin').read_text() == 'old'
    assert len(list(small_disk.iterdir())) == 1


def test_a_folder_that_cannot_be_written(small_disk):
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    with pytest.raises(BadParameter, match='output: cannot write to the folder'):
        check_destination(small_disk / 'a.tif')
