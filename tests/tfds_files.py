"""A small `mnist` and `svhn_cropped` as TFDS prepares them."""

import io
import json

import numpy as np

SIZES = {"mnist": {"train": 60, "test": 30}, "svhn_cropped": {"train": 50, "test": 20}}


def numbered_digits(count, shape, start):
    """Pictures whose pixels spell their number, so that each can be recognised."""
    rng = np.random.default_rng(start)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    images[:, 0, 0, 0] = start + np.arange(count)
    return images, (np.arange(count) % 10).astype(np.int32)


def write_tfds(root, name, version, shape, sizes, file_format="array_record"):
    """Writes a folder as `tfds build` would, without TensorFlow: pictures as PNG."""
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from PIL import Image

    folder = root / name / version
    folder.mkdir(parents=True)
    features = {
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    if name == "svhn_cropped":
        features["id"] = tfds.features.Text()
    features = tfds.features.FeaturesDict(features)
    features.save_config(folder)
    content, splits = {}, []
    for start, (split, count) in enumerate(sizes.items()):
        images, labels = numbered_digits(count, shape, 100 * start)
        path = folder / f"{name}-{split}.{file_format}-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for image, label in zip(images, labels, strict=True):
            png = io.BytesIO()
            Image.fromarray(image.squeeze()).save(png, "PNG")
            example = {"image": png.getvalue(), "label": int(label)}
            if name == "svhn_cropped":
                example["id"] = "0"
            writer.write(features.serialize_example(example))
        writer.close()
        content[split] = (images, labels)
        splits.append(
            {
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "name": split,
                "numBytes": str(path.stat().st_size),
                "shardLengths": [str(count)],
            }
        )
    facts = {"name": name, "version": version, "fileFormat": file_format}
    (folder / "dataset_info.json").write_text(json.dumps({**facts, "splits": splits}))
    return content


def write(root):
    """Both in the folder ``root``; {name: {split: (images, labels)}}."""
    return {
        "mnist": write_tfds(root, "mnist", "3.0.1", (28, 28, 1), SIZES["mnist"]),
        "svhn_cropped": write_tfds(
            root, "svhn_cropped", "3.1.0", (32, 32, 3), SIZES["svhn_cropped"]
        ),
    }
