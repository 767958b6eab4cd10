package dev.headstart.generation;

import java.util.concurrent.Flow;

/** One subscriber's hold on a {@link TokenStream}: a daemon thread that computes as many tokens as were requested. */
final class TokenSubscription implements Flow.Subscription {
    private final TokenStream tokens;
    private final Flow.Subscriber<? super Token> subscriber;
    private long requested;
    private boolean cancelled;
    private boolean illegal;

    TokenSubscription(TokenStream tokens, Flow.Subscriber<? super Token> subscriber) {
        this.tokens = tokens;
        this.subscriber = subscriber;
    }

    void start() {
        Thread thread = new Thread(this::run, "headstart-tokens");
        thread.setDaemon(true);
        thread.start();
    }

    private void run() {
        try (tokens) {
            subscriber.onSubscribe(this);
            while (!tokens.isOver() && awaitRequest()) {
                if (tokens.hasNext()) {
                    subscriber.onNext(tokens.next());
                }
            }
            if (!isCancelled()) {
                subscriber.onComplete();
            }
            if (illegal) {
                subscriber.onError(new IllegalArgumentException("at least one token must be requested"));
            }
        } catch (RuntimeException e) {
            subscriber.onError(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized boolean isCancelled() {
        return cancelled;
    }

    private synchronized boolean awaitRequest() throws InterruptedException {
        while (requested == 0 && !cancelled) {
            wait();
        }
        if (cancelled) {
            return false;
        }
        if (requested != Long.MAX_VALUE) {
            requested--;
        }
        return true;
    }

    @Override
    public synchronized void request(long n) {
        if (n <= 0) {
            illegal = true;
            cancelled = true;
        } else {
            requested = requested + n < 0 ? Long.MAX_VALUE : requested + n;
        }
        notifyAll();
    }

    @Override
    public synchronized void cancel() {
        cancelled = true;
        notifyAll();
    }
}
