package dev.headstart.generation;

import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Queue;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.Flow;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The tokens of a running generation, computed as they are read, on the reader's thread. Closing it, read to the end or not, frees the memory of the
 * call.
 */
public final class TokenStream implements Iterator<Token>, AutoCloseable {
    private final Decoding decoding;
    private final Queue<Token> ready = new ArrayDeque<>();
    private boolean closed;

    TokenStream(Decoding decoding) {
        this.decoding = decoding;
    }

    @Override
    public synchronized boolean hasNext() {
        while (ready.isEmpty() && !closed && !decoding.done) {
            List<Token> tokens = decoding.step();
            ready.addAll(tokens);
            if (decoding.done) {
                close(); // nothing more is computed: the memory is not needed while the last tokens are read
            }
        }
        return !ready.isEmpty();
    }

    @Override
    public synchronized Token next() {
        if (!hasNext()) {
            throw new NoSuchElementException("the generation is over");
        }
        return ready.remove();
    }

    /** The same as a stream; close it, or this. */
    public Stream<Token> stream() {
        Spliterator<Token> items = Spliterators.spliteratorUnknownSize(this, Spliterator.ORDERED | Spliterator.NONNULL);
        return StreamSupport.stream(items, false).onClose(this::close);
    }

    /** Reads all that is left. */
    public void forEach(Consumer<? super Token> action) {
        forEachRemaining(action);
    }

    /**
     * The same as a publisher for one subscriber. Tokens are computed on a daemon thread of its own, one for each that was requested; cancelling the
     * subscription frees the memory.
     */
    public Flow.Publisher<Token> publisher() {
        return subscriber -> new TokenSubscription(this, subscriber).start();
    }

    /** Whether all tokens were read; computes nothing. */
    synchronized boolean isOver() {
        return ready.isEmpty() && (closed || decoding.done);
    }

    /** What there is so far: everything, once the stream has been read. */
    public synchronized GenerationOutput output() {
        return decoding.output();
    }

    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            if (!decoding.done) {
                decoding.cancel();
            }
            decoding.close();
        }
    }
}
