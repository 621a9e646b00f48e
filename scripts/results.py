"""Results in a model.h5 that are of the model in it."""
import sys


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def of(file, group):
    """The members of /evaluation or /samples by name, without those made of another model (attribute `model`; the file's own
    is `identity`), which are named on stderr. Results without the attribute are of before it was stored."""
    kept, identity = {}, text(file.attrs.get("identity"))
    for name, item in file.get(group, {}).items():
        model = text(item.attrs.get("model"))
        if model is not None and model != identity:
            print(f"{file.filename}: /{group}/{name} is of another model than the one in the file; it is left out",
                  file=sys.stderr)
        else:
            kept[name] = item
    return kept
