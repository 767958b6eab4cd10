package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;

/** What holds a table in place of its plain tensor and can look up its rows: embeddings that share their weight with a packed Linear, or are stored in few bits. */
interface RowSource {
    /** @param ids int64 [...]; @return fp32 [..., size of a row] */
    Tensor rows(Tensor ids);
}
