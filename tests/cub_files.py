"""A small `caltech_birds2011` as TFDS prepares it, and captions: one colour a bird."""

import io
import json

import numpy as np

COLOURS = {
    "black": (10, 10, 10),
    "white": (245, 245, 245),
    "brown": (120, 70, 30),
    "yellow": (240, 220, 30),
    "red": (220, 20, 20),
    "blue": (30, 40, 220),
}
# Words of the real captions, most of them among the commonest.
SENTENCES = (
    "this bird has wings that are {} and has a long bill",
    "a small {} bird with a grey belly, a short beak and long tarsus.",
    "the bird is {} with a {} crown and a white eyering",
)


def colour_of(number):
    """The colour of bird ``number``, as a word."""
    return sorted(COLOURS)[number % len(COLOURS)]


def file_name(number):
    """As TFDS names it, with the folder of its species."""
    return f"images/{number % 4:03d}.Bird/Bird_{number:04d}_{7 * number}.jpg"


def captions_of(number):
    """Ten captions, as of the real birds; one has a word that no other has."""
    colour = colour_of(number)
    texts = [SENTENCES[k % 3].format(colour, colour) for k in range(9)]
    return [*texts, f"A {colour} BIRD, number{number}!"]


def write(root, *, sizes=None, texts=captions_of):
    """Writes ``root``/caltech_birds2011 and ``root``/captions.tsv; returns the latter.

    Pictures differ in size; the background is the bird's number as a grey. ``texts`` of
    that number are its captions.
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from PIL import Image

    folder = root / "caltech_birds2011" / "0.1.1"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "bbox": tfds.features.BBoxFeature(),
            "image": tfds.features.Image(),
            "image/filename": tfds.features.Text(),
            "label": tfds.features.ClassLabel(num_classes=200),
            "label_name": tfds.features.Text(),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        }
    )
    features.save_config(folder)
    splits, number, lines = [], 0, []
    for split, count in (sizes or {"train": 14, "test": 10}).items():
        path = folder / f"caltech_birds2011-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for _ in range(count):
            height, width = 70 + number, 110 - number
            pixels = np.full((height, width, 3), number, np.uint8)
            pixels[20:-20, 20:-20] = COLOURS[colour_of(number)]
            pictures = {}
            for kind, array in (("image", pixels), ("mask", pixels[..., 0])):
                raw = io.BytesIO()
                Image.fromarray(array).save(raw, "PNG")
                pictures[kind] = raw.getvalue()
            example = {
                "bbox": tfds.features.BBox(ymin=0.1, xmin=0.1, ymax=0.9, xmax=0.9),
                "image": pictures["image"],
                "image/filename": file_name(number),
                "label": number % 4,
                "label_name": f"{number % 4:03d}.Bird",
                "segmentation_mask": pictures["mask"],
            }
            writer.write(features.serialize_example(features.encode_example(example)))
            lines += [f"{file_name(number)}\t{c}" for c in texts(number)]
            number += 1
        writer.close()
        splits.append(
            {
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "name": split,
                "numBytes": str(path.stat().st_size),
                "shardLengths": [str(count)],
            }
        )
    facts = {"name": "caltech_birds2011", "version": "0.1.1", "splits": splits}
    facts["fileFormat"] = "array_record"
    (folder / "dataset_info.json").write_text(json.dumps(facts))
    path = root / "captions.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
