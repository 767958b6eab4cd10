/** Streaming readers and writers of task data and features: csv, tsv, jsonl, json, text, Parquet, annotations, folders. */
@NullMarked
package dev.headstart.data;

import org.jspecify.annotations.NullMarked;
