"""Batches: each image once, the same whoever loads; labels as a matrix; broken pictures; decoding."""

from __future__ import annotations

import io
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlimages.annotate.tables.annotations import AnnotationTable
from mlimages.errors import ModelError, TableError
from mlimages.images import pack
from mlimages.images.packed.writing import Row, write_shards
from mlimages.images.picture import PictureError, decode
from mlimages.models import Preprocessing
from mlimages.models.data.dataset import MultiHot, ParquetImages
from mlimages.models.data.decode import decode_pixels
from mlimages.models.data.feed import loader
from mlimages.models.data.order import Batches, Ticket
from mlimages.models.data.pixels import tensor_of_pixels
from mlimages.models.data.preprocess import evaluation, training

SMALL = Preprocessing(size=16)
EVALUATION = evaluation(SMALL)


def everything(batches):
    return [(ticket.epoch, ticket.number, ticket.rows.tolist()) for ticket in batches]


# the order ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    batch=st.integers(1, 5),
    world=st.integers(1, 3),
    pool=st.integers(1, 3),
    drop_last=st.booleans(),
    seed=st.none() | st.integers(0, 3),
)
def test_every_image_comes_once_an_epoch_over_all_ranks(groups, batch, world, pool, drop_last, seed):
    rows, size = sum(groups), batch * world
    options = {"seed": seed, "pool": pool, "epochs": 2, "drop_last": drop_last}
    if rows < (size if drop_last else 1):
        with pytest.raises(ModelError, match="images do not fill one batch"):
            Batches(groups, batch, **options, world=world)
        return
    ranks = [Batches(groups, batch, **options, rank=rank, world=world) for rank in range(world)]
    tickets = [list(each) for each in ranks]
    assert [len(each) for each in tickets] == [len(each) for each in ranks]
    whole = list(Batches(groups, size, **options))
    for step, ticket in enumerate(whole):  # what one rank with a greater batch reads
        assert np.concatenate([each[step].rows for each in tickets]).tolist() == ticket.rows.tolist()
    for epoch in (0, 1):
        seen = [row for ticket in whole if ticket.epoch == epoch for row in ticket.rows.tolist()]
        assert len(set(seen)) == len(seen) == (rows // size * size if drop_last else rows)


def test_order_follows_the_seed_and_the_epoch():
    first = everything(Batches([30, 30], 10, seed=1, epochs=2))
    assert first == everything(Batches([30, 30], 10, seed=1, epochs=2))
    assert first != everything(Batches([30, 30], 10, seed=2, epochs=2))
    assert [rows for epoch, _, rows in first if epoch == 0] != [rows for epoch, _, rows in first if epoch == 1]


@pytest.mark.parametrize("start", [(0, 0), (0, 2), (1, 0), (1, 5)])
def test_order_goes_on_in_mid_epoch(start):
    whole = everything(Batches([30, 30], 10, seed=1, epochs=2))
    rest = Batches([30, 30], 10, seed=1, epochs=2, start=start)
    assert everything(rest) == whole[start[0] * 6 + start[1] :]
    assert len(rest) == 12 - start[0] * 6 - start[1]


def test_row_groups_of_a_pool_stay_together():
    rows = np.concatenate([ticket.rows for ticket in Batches([10] * 6, 5, seed=0, pool=2)])
    groups = rows // 10
    assert [len(set(groups[at : at + 20])) for at in (0, 20, 40)] == [2, 2, 2]


def test_order_without_a_seed_is_that_of_the_table():
    assert everything(Batches([3, 2], 4, seed=None, drop_last=False)) == [(0, 0, [0, 1, 2, 3]), (0, 1, [4])]


# the pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def images(pictures):
    return ParquetImages(pictures.table, pictures.images, preprocess=EVALUATION)


def test_batch_holds_pictures_and_labels_of_its_rows(images, pictures, zoo):
    rows = np.array([48, 0, 14, 16, 1])  # of three parts, in no order
    batch = images[Ticket(0, 3, rows)]
    assert batch.names == ["048.png", "000.png", "014.png", "016.png", "001.png"]
    assert batch.pictures.shape == (5, 3, 16, 16)
    assert batch.pictures.float().mean(dim=(2, 3)).argmax(dim=1).tolist() == [0, 0, 2, 0, 1]
    expected = AnnotationTable.open(pictures.table).multi_hot(rows, unknown=-1)
    assert MultiHot(10, unknown=-1)(batch).tolist() == expected.tolist()
    assert expected[4, zoo.index("stuff")] == 0
    assert (batch.epoch, batch.number, batch.broken) == (0, 3, {})


def test_batches_are_the_same_with_any_number_of_workers(pictures):
    images = ParquetImages(pictures.table, pictures.images, preprocess=training(SMALL), seed=5)
    batches = Batches(images.groups, 16, seed=0, epochs=2)
    alone, two = (list(loader(images, batches, workers=workers)) for workers in (0, 2))
    assert len(alone) == 6
    assert not any(batch.broken for batch in alone)
    for one, other in zip(alone, two, strict=True):
        assert torch.equal(one.pictures, other.pictures)
        assert torch.equal(MultiHot(10)(one), MultiHot(10)(other))
        assert one.names == other.names


def test_process_that_leaves_batches_unread_ends(pictures):
    script = f"""
from mlimages.models import Preprocessing
from mlimages.models.data.dataset import ParquetImages
from mlimages.models.data.feed import loader
from mlimages.models.data.order import Batches
from mlimages.models.data.preprocess import training
images = ParquetImages({str(pictures.table)!r}, {str(pictures.images)!r}, preprocess=training(Preprocessing(size=16)))
feed = loader(images, Batches(images.groups, 4, seed=0), workers=1)
next(feed)
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_row_group_is_one_line_from_any_process(pictures, tmp_path, workers):
    shutil.copytree(pictures.table, tmp_path / "table")
    path = tmp_path / "table" / "part-00001.parquet"
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    images = ParquetImages(tmp_path / "table", pictures.images, preprocess=training(SMALL))
    with pytest.raises(TableError, match=r"part-00001\.parquet: row group 0 is damaged \(.*mlimages verify") as caught:
        list(loader(images, Batches(images.groups, 60, seed=None), workers=workers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label", [-1, 30_000])
def test_label_that_is_no_category_is_one_line(pictures, tmp_path, label):
    shutil.copytree(pictures.table, tmp_path / "table")
    path = tmp_path / "table" / "part-00001.parquet"
    part = pq.read_table(path)
    labels = part.column("labels").to_pylist()
    labels[2][0] = label
    pq.write_table(part.set_column(1, "labels", pa.array(labels, pa.list_(pa.int16()))), path)
    images = ParquetImages(tmp_path / "table", pictures.images, preprocess=training(SMALL))
    with pytest.raises(
        TableError, match=rf"part-00001\.parquet: row 2 \('.*'\): found the label {label}, expected 0 to"
    ):
        images[Ticket(0, 0, np.arange(images.manifest.rows))]


def test_draws_change_with_the_epoch_and_leave_the_generator_of_torch(pictures):
    images = ParquetImages(pictures.table, pictures.images, preprocess=training(SMALL))
    torch.manual_seed(3)
    first, second = (images[Ticket(epoch, 0, np.arange(4))].pictures for epoch in (0, 1))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert not torch.equal(first, second)
    assert torch.equal(first, images[Ticket(0, 7, np.arange(4))].pictures)


def test_packed_images_give_the_same_batch(pictures, images, zoo, tmp_path):
    table = AnnotationTable.open(pictures.table)
    rows = table.to_table().to_pylist()
    packed = (
        Row(
            row["image"],
            (pictures.images / row["image"]).read_bytes(),
            np.array(row["labels"], np.int16),
            np.array(row["confidences"], np.float32),
            np.array(row["origins"], np.uint8),
        )
        for row in rows
    )
    write_shards(packed, tmp_path / "packed", hierarchy=zoo)
    ticket = Ticket(0, 0, np.array([3, 50, 17]))
    found, expected = ParquetImages(tmp_path / "packed", preprocess=EVALUATION)[ticket], images[ticket]
    assert found.names == expected.names
    assert torch.equal(found.pictures, expected.pictures)
    assert torch.equal(MultiHot(10)(found), MultiHot(10)(expected))


def packed_pictures(pictures, zoo, folder, names):
    rows = (
        Row(
            name,
            (pictures.images / name).read_bytes(),
            *(np.zeros(0, kind) for kind in (np.int16, np.float32, np.uint8)),
        )
        for name in names
    )
    write_shards(rows, folder, hierarchy=zoo)
    return folder


def test_images_of_a_table_are_found_by_name_among_packed_ones(pictures, images, zoo, tmp_path):
    names = [f"{number:03d}.png" for number in range(59, -1, -1) if number != 17]
    packed = packed_pictures(pictures, zoo, tmp_path / "packed", names)
    found = pickle.loads(pickle.dumps(ParquetImages(pictures.table, packed, preprocess=EVALUATION)))
    ticket = Ticket(0, 0, np.array([3, 50, 17, 0]))
    batch, expected = found[ticket], images[ticket]
    assert batch.names == expected.names
    assert torch.equal(batch.pictures[[0, 1, 3]], expected.pictures[[0, 1, 3]])
    assert batch.broken == {2: f"017.png: not among the packed images of {packed}"}
    kept = expected.rows != 2
    assert (batch.rows.tolist(), batch.columns.tolist()) == (
        expected.rows[kept].tolist(),
        expected.columns[kept].tolist(),
    )


def test_packed_images_of_other_names_are_refused(pictures, zoo, tmp_path):
    (pictures.images / "other.png").write_bytes((pictures.images / "000.png").read_bytes())
    packed = packed_pictures(pictures, zoo, tmp_path / "packed", ["other.png"])
    (pictures.images / "other.png").unlink()
    with pytest.raises(TableError, match="packed: holds none of the 60 images of the table, by their names"):
        ParquetImages(pictures.table, packed, preprocess=EVALUATION)


def test_dataset_can_be_sent_to_another_process(images):
    images[Ticket(0, 0, np.arange(2))]
    again = pickle.loads(pickle.dumps(images))
    assert again[Ticket(0, 0, np.arange(2))].names == ["000.png", "001.png"]


def test_chosen_categories_are_the_outputs_in_their_order(pictures, zoo):
    chosen = zoo.index(["animal", "cat"])
    images = ParquetImages(pictures.table, pictures.images, preprocess=EVALUATION, categories=chosen)
    assert MultiHot(2)(images[Ticket(0, 0, np.arange(4))]).tolist() == [[1, 0], [1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("categories", "message"), [([], "none are given"), ([10], "indices from 0 to 9"), ([1, 1], "given twice")]
)
def test_categories_that_make_no_sense_are_refused(pictures, categories, message):
    with pytest.raises(ModelError, match=message):
        ParquetImages(pictures.table, pictures.images, preprocess=EVALUATION, categories=categories)


def test_annotation_table_without_a_folder_of_images_is_refused(pictures):
    with pytest.raises(TableError, match="an annotation table holds no pixels: give the folder of its images"):
        ParquetImages(pictures.table, preprocess=EVALUATION)


def test_packed_images_beside_a_folder_are_refused_rather_than_the_folder_passed_over(pictures, tmp_path):
    pack(pictures.table, pictures.images, tmp_path / "packed")
    with pytest.raises(TableError, match=r"packed: has its images packed: leave out the folder .*images"):
        ParquetImages(tmp_path / "packed", pictures.images, preprocess=EVALUATION)


def test_broken_pictures_are_named_and_left_out(pictures, tmp_path):
    for path in pictures.images.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "001.png").write_bytes(b"an error page")
    (tmp_path / "002.png").unlink()
    images = ParquetImages(pictures.table, tmp_path, preprocess=EVALUATION)
    batch = images[Ticket(0, 0, np.arange(4))]
    assert list(batch.broken) == [1, 2]
    assert "expected a JPEG, PNG" in batch.broken[1]
    assert "No such file" in batch.broken[2]
    assert batch.pictures[1:3].max() == 0
    targets = MultiHot(10)(batch)
    assert targets[1:3].unique().tolist() == [-1]
    assert targets[[0, 3]].min() == 0


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.png"])
def test_name_that_leads_out_of_the_folder_is_a_broken_picture(pictures, zoo, tmp_path, name):
    from mlimages.annotate.pipeline import annotate

    (tmp_path / "list.txt").write_text(f"{name}\tcat:1\n")
    annotate(tmp_path / "list.txt", zoo, out=tmp_path / "table")
    images = ParquetImages(tmp_path / "table", pictures.images, preprocess=EVALUATION)
    assert "expected the name of a file below" in images[Ticket(0, 0, np.arange(1))].broken[0]


# the matrix -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5), unknown=st.sampled_from([0.0, -1.0]), data=st.data())
def test_reused_matrix_equals_a_new_one(images_of_the_session, sizes, unknown, data):
    reused = MultiHot(10, unknown=unknown)
    for size in sizes:
        rows = np.array(data.draw(st.lists(st.integers(0, 59), min_size=size, max_size=size)))
        batch = images_of_the_session[Ticket(0, 0, rows)]
        assert torch.equal(reused(batch), MultiHot(10, unknown=unknown)(batch))


@pytest.fixture(scope="session")
def images_of_the_session(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("some")
    for path in sorted(pictures.images.iterdir())[10:]:  # the first ten are missing
        (folder / path.name).write_bytes(path.read_bytes())
    return ParquetImages(pictures.table, folder, preprocess=EVALUATION)


# decoding -------------------------------------------------------------------------------------------------------------


def jpeg(width, height, mode="RGB", **options):
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((width, height)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_decodes_to_what_pillow_sees(mode):
    data = jpeg(90, 60, mode)
    expected = np.asarray(decode(data)).transpose(2, 0, 1)
    assert np.array_equal(tensor_of_pixels(decode_pixels(data, least_side=50)).numpy(), expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_large_jpeg_is_decoded_no_smaller_than_is_needed(mode):
    height, width = decode_pixels(jpeg(900, 640, mode), least_side=100).shape
    assert 100 <= height < 400
    assert width / height == pytest.approx(900 / 640, rel=0.02)
    assert decode_pixels(jpeg(900, 640), least_side=330).shape == (640, 900)
    assert decode(jpeg(900, 640), least_side=100).size == (225, 160)


def test_truncated_jpeg_is_broken():
    data = jpeg(200, 200, quality=95)
    with pytest.raises(PictureError, match="damaged JPEG"):
        decode_pixels(data[: len(data) // 2], least_side=50)
