package dev.headstart.train.pretrain;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import org.jspecify.annotations.Nullable;

/** The pieces of a corpus' training split one after the other: a reading thread fills a short queue, so that memory stays small. */
final class TextIterator implements Iterator<String>, AutoCloseable {
    private static final Object END = new Object();
    private final BlockingQueue<Object> queue = new ArrayBlockingQueue<>(64);
    private final Thread reader;
    private @Nullable Object head;

    TextIterator(Corpus corpus) {
        reader = new Thread(() -> fill(corpus), "corpus");
        reader.setDaemon(true);
        reader.start();
    }

    private void fill(Corpus corpus) {
        try {
            try {
                corpus.read(Corpus.Split.TRAIN, new Corpus.Sink() {
                    @Override
                    public void text(String piece) {
                        put(piece);
                    }

                    @Override
                    public void endOfDocument() {}
                });
                put(END);
            } catch (Stopped e) {
                return;
            } catch (RuntimeException e) {
                put(e);
            }
        } catch (Stopped e) {
            Thread.currentThread().interrupt();
        }
    }

    private static final class Stopped extends RuntimeException {
        private static final long serialVersionUID = 1;

        Stopped(InterruptedException e) {
            super(e);
        }
    }

    private void put(Object o) {
        try {
            queue.put(o);
        } catch (InterruptedException e) {
            throw new Stopped(e);
        }
    }

    private Object head() {
        Object h = head;
        if (h == null) {
            try {
                h = queue.take();
            } catch (InterruptedException e) {
                throw new Stopped(e);
            }
            head = h;
        }
        if (h instanceof RuntimeException e) {
            throw e;
        }
        return h;
    }

    @Override
    public boolean hasNext() {
        return head() != END;
    }

    @Override
    public String next() {
        if (!(head() instanceof String text)) {
            throw new NoSuchElementException();
        }
        head = null;
        return text;
    }

    @Override
    public void close() {
        reader.interrupt();
    }
}
