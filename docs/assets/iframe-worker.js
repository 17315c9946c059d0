/* The search of the site runs in a worker, which browsers refuse to pages that are opened from a folder (file://). There
   this takes the worker's place: the same script, in a hidden frame, spoken to by the same messages. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.waiting = [];
      const inner = this.frame.contentWindow;
      inner.IFrameWorker = window.IFrameWorker;
      inner.postMessage = (data) => this.tell(data);
      inner.importScripts = (...urls) => urls.reduce((before, next) => before.then(() => this.load(next)), Promise.resolve());
      this.load(url).then(() => {
        this.ready = true;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      });
    }

    postMessage(data) {
      if (!this.ready) this.waiting.push(data);
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.frame.remove();
    }

    tell(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const inner = this.frame.contentDocument;
        const script = inner.createElement("script");
        Object.assign(script, { src: url, onload: resolve, onerror: reject });
        inner.body.append(script);
      });
    }
  };
  window.Worker = window.IFrameWorker;
}
