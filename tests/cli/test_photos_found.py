"""Input photos are found, and each gets a unique output name."""

import pytest

from gss_keras.cli.photos import find_photos

pytestmark = pytest.mark.any_backend


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_search_skips_hidden_files_and_the_output_folder(tmp_path):
    folder = touch(
        tmp_path / "in", "a.jpg", "b/c.PNG", "b/notes.txt", ".hidden.jpg",
        ".git/d.png", "out/masks/a.png",
    )  # fmt: skip
    found = find_photos([folder], folder / "out")
    assert found.photos == {"a": folder / "a.jpg", "b/c": folder / "b/c.PNG"}
    assert found.others == 1


def test_an_input_file_is_accepted_with_any_extension(tmp_path):
    touch(tmp_path, "notes.txt", "x/photo.jpg")
    inputs = [tmp_path / "notes.txt", tmp_path / "x"]
    found = find_photos(inputs, tmp_path / "out")
    assert list(found.photos) == ["notes", "photo"]


def test_photos_with_the_same_stem_keep_their_extensions(tmp_path):
    folder = touch(tmp_path / "in", "a.jpg", "a.png", "b.png")
    found = find_photos([folder], tmp_path / "out")
    assert list(found.photos) == ["a.jpg", "a.png", "b"]


def test_names_of_several_folders_do_not_collide(tmp_path):
    one = touch(tmp_path / "one", "a.jpg")
    two = touch(tmp_path / "two", "a.jpg")
    found = find_photos([one, two], tmp_path / "out")
    assert found.photos == {"one/a": one / "a.jpg", "two/a": two / "a.jpg"}
    inputs = [one / "a.jpg", two / "a.jpg"]
    with pytest.raises(ValueError, match="Photos must have different names"):
        find_photos(inputs, tmp_path / "out")


def test_missing_and_empty_inputs_raise(tmp_path):
    with pytest.raises(ValueError, match="Photos must be existing files"):
        find_photos([tmp_path / "nowhere"], tmp_path / "out")
    touch(tmp_path / "in", "notes.txt")
    with pytest.raises(ValueError, match="with 1 other files"):
        find_photos([tmp_path / "in"], tmp_path / "out")
