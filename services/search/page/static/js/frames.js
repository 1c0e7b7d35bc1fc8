// Many events may come within one frame; what they change is drawn once.

export function oncePerFrame(draw) {
  let waiting = 0;
  const now = () => {
    cancelAnimationFrame(waiting);
    waiting = 0;
    draw();
  };
  const later = () => (waiting ||= requestAnimationFrame(now));
  return { now, later };
}
