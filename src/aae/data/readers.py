"""The readers, in the order in which they are asked whether a source is theirs. A new format is one more line here."""

from aae.data import anndata, arrays, delimited, idx, images, parquet, svhn, tfd
from aae.data.formats import register

register(*idx.FORMATS)
register(*tfd.FORMATS)
register(*svhn.FORMATS)
register(*arrays.FORMATS)
register(*images.FORMATS)
register(*delimited.FORMATS)
register(*parquet.FORMATS)
register(*anndata.FORMATS)
