// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/display/sdl_window.h"

#include <SDL2/SDL.h>
#include <dlfcn.h>

#include <algorithm>

#include "emu/display/sdl_keys.h"
#include "emu/machine/board.h"

namespace xm::display {

// The functions of SDL2 in use, found at run time.
struct SdlLibrary {
  void* handle = nullptr;
  decltype(&SDL_Init) init;
  decltype(&SDL_Quit) quit;
  decltype(&SDL_GetError) get_error;
  decltype(&SDL_CreateWindow) create_window;
  decltype(&SDL_DestroyWindow) destroy_window;
  decltype(&SDL_SetWindowTitle) set_window_title;
  decltype(&SDL_SetWindowSize) set_window_size;
  decltype(&SDL_SetWindowFullscreen) set_window_fullscreen;
  decltype(&SDL_SetWindowGrab) set_window_grab;
  decltype(&SDL_CreateRenderer) create_renderer;
  decltype(&SDL_DestroyRenderer) destroy_renderer;
  decltype(&SDL_RenderSetLogicalSize) render_set_logical_size;
  decltype(&SDL_CreateTexture) create_texture;
  decltype(&SDL_DestroyTexture) destroy_texture;
  decltype(&SDL_UpdateTexture) update_texture;
  decltype(&SDL_RenderClear) render_clear;
  decltype(&SDL_RenderCopy) render_copy;
  decltype(&SDL_RenderPresent) render_present;
  decltype(&SDL_PollEvent) poll_event;
  decltype(&SDL_SetRelativeMouseMode) set_relative_mouse_mode;

  template <class Function>
  bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(handle, name));
    return function != nullptr;
  }

  bool load() {
    handle = ::dlopen("libSDL2-2.0.so.0", RTLD_NOW | RTLD_LOCAL);
    return handle != nullptr && find(init, "SDL_Init") && find(quit, "SDL_Quit") && find(get_error, "SDL_GetError") &&
           find(create_window, "SDL_CreateWindow") && find(destroy_window, "SDL_DestroyWindow") &&
           find(set_window_title, "SDL_SetWindowTitle") && find(set_window_size, "SDL_SetWindowSize") &&
           find(set_window_fullscreen, "SDL_SetWindowFullscreen") && find(set_window_grab, "SDL_SetWindowGrab") &&
           find(create_renderer, "SDL_CreateRenderer") && find(destroy_renderer, "SDL_DestroyRenderer") &&
           find(render_set_logical_size, "SDL_RenderSetLogicalSize") && find(create_texture, "SDL_CreateTexture") &&
           find(destroy_texture, "SDL_DestroyTexture") && find(update_texture, "SDL_UpdateTexture") &&
           find(render_clear, "SDL_RenderClear") && find(render_copy, "SDL_RenderCopy") &&
           find(render_present, "SDL_RenderPresent") && find(poll_event, "SDL_PollEvent") &&
           find(set_relative_mouse_mode, "SDL_SetRelativeMouseMode");
  }
};

struct SdlWindow::Handles {
  SDL_Window* window = nullptr;
  SDL_Renderer* renderer = nullptr;
  SDL_Texture* texture = nullptr;
};

namespace {
constexpr unsigned kScaleStep = 25;     // per cent
constexpr i64 kRefreshNs = 30'000'000;  // about 33 pictures a second
}  // namespace

Result<std::unique_ptr<SdlWindow>> SdlWindow::open(machine::Machine& machine) {
  auto library = std::make_unique<SdlLibrary>();
  if (!library->load()) {
    return Error{"cannot open a window: libSDL2-2.0.so.0 is missing; install libsdl2-2.0-0 or use -display none"};
  }
  if (library->init(SDL_INIT_VIDEO) != 0) {
    return Error{std::string("cannot open a window: ") + library->get_error() + "; use -display none or -nographic"};
  }
  auto handles = std::make_unique<Handles>();
  handles->window = library->create_window("xiaoma", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720, 400,
                                           SDL_WINDOW_RESIZABLE);
  if (handles->window != nullptr) handles->renderer = library->create_renderer(handles->window, -1, 0);
  if (handles->renderer == nullptr) {
    const Error error{std::string("cannot open a window: ") + library->get_error()};
    library->quit();
    return error;
  }
  return std::unique_ptr<SdlWindow>(new SdlWindow(machine, std::move(library), std::move(handles)));
}

SdlWindow::SdlWindow(machine::Machine& machine, std::unique_ptr<SdlLibrary> library, std::unique_ptr<Handles> handles)
    : machine_(machine), sdl_(std::move(library)), handles_(std::move(handles)) {
  update_title();
  if (machine_.config().full_screen) {
    full_screen_ = true;
    sdl_->set_window_fullscreen(handles_->window, SDL_WINDOW_FULLSCREEN_DESKTOP);
  }
  schedule();
}

SdlWindow::~SdlWindow() {
  machine_.loop().cancel_timer(timer_);
  if (handles_->texture != nullptr) sdl_->destroy_texture(handles_->texture);
  sdl_->destroy_renderer(handles_->renderer);
  sdl_->destroy_window(handles_->window);
  sdl_->quit();
}

void SdlWindow::schedule() {
  timer_ = machine_.loop().add_timer(host::EventLoop::now_ns() + kRefreshNs, [this] {
    poll_events();
    refresh();
    schedule();
  });
}

void SdlWindow::refresh() {
  devices::DisplaySource* source = machine_.board().display();
  if (source == nullptr) return;
  const devices::SurfaceChange change = source->refresh(surface_);
  if (!change.any() || surface_.width == 0) return;
  if (change.resized || handles_->texture == nullptr) {
    if (handles_->texture != nullptr) sdl_->destroy_texture(handles_->texture);
    handles_->texture = sdl_->create_texture(handles_->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                                             static_cast<int>(surface_.width), static_cast<int>(surface_.height));
    sdl_->render_set_logical_size(handles_->renderer, static_cast<int>(surface_.width),
                                  static_cast<int>(surface_.height));
    if (!full_screen_) apply_scale();
  }
  draw();
}

void SdlWindow::apply_scale() {
  sdl_->set_window_size(handles_->window, static_cast<int>(surface_.width * scale_percent_ / 100),
                        static_cast<int>(surface_.height * scale_percent_ / 100));
}

void SdlWindow::draw() {
  if (handles_->texture == nullptr) return;
  sdl_->update_texture(handles_->texture, nullptr, surface_.pixels.data(), static_cast<int>(surface_.width * 4));
  sdl_->render_clear(handles_->renderer);
  sdl_->render_copy(handles_->renderer, handles_->texture, nullptr, nullptr);
  sdl_->render_present(handles_->renderer);
}

void SdlWindow::poll_events() {
  SDL_Event event;
  devices::PointerSink& mouse = machine_.board().mouse();
  while (sdl_->poll_event(&event) != 0) {
    switch (event.type) {
      case SDL_QUIT: machine_.request_quit(0); break;
      case SDL_KEYDOWN:
      case SDL_KEYUP: handle_key(event.key.keysym.scancode, event.type == SDL_KEYDOWN, event.key.repeat != 0); break;
      case SDL_MOUSEMOTION:
        if (!grabbed_) break;
        mouse.pointer_motion(event.motion.xrel, event.motion.yrel, 0);
        mouse.pointer_sync();
        break;
      case SDL_MOUSEWHEEL:
        if (!grabbed_) break;
        mouse.pointer_motion(0, 0, event.wheel.y);
        mouse.pointer_sync();
        break;
      case SDL_MOUSEBUTTONDOWN:
      case SDL_MOUSEBUTTONUP: {
        if (!grabbed_) {
          set_grab(true);
          break;
        }
        const u8 button = event.button.button;
        if (button >= SDL_BUTTON_LEFT && button <= SDL_BUTTON_RIGHT) {
          constexpr devices::MouseButton kButtons[] = {devices::MouseButton::Left, devices::MouseButton::Middle,
                                                       devices::MouseButton::Right};
          mouse.pointer_button(kButtons[button - SDL_BUTTON_LEFT], event.type == SDL_MOUSEBUTTONDOWN);
          mouse.pointer_sync();
        }
        break;
      }
      case SDL_WINDOWEVENT:
        if (event.window.event == SDL_WINDOWEVENT_FOCUS_LOST) {
          set_grab(false);
          release_keys();
        }
        if (event.window.event == SDL_WINDOWEVENT_EXPOSED || event.window.event == SDL_WINDOWEVENT_SIZE_CHANGED) draw();
        break;
      default: break;
    }
  }
}

void SdlWindow::handle_key(unsigned scancode, bool down, bool repeat) {
  if (scancode == SDL_SCANCODE_LCTRL) control_ = down;
  if (scancode == SDL_SCANCODE_LALT) alt_ = down;
  if (down && control_ && alt_ && handle_hotkey(scancode)) return;
  const u16 code = linux_keycode_of_scancode(scancode);
  // The PS/2 keyboard repeats by itself.
  if (code == 0 || repeat) return;
  machine_.board().keyboard().key(code, down);
  if (down)
    pressed_.insert(code);
  else
    pressed_.erase(code);
}

// The window no longer hears when keys go up: without this, Alt of Alt-Tab would stay down in the guest.
void SdlWindow::release_keys() {
  for (const u16 code : pressed_) machine_.board().keyboard().key(code, false);
  pressed_.clear();
  control_ = alt_ = false;
}

bool SdlWindow::handle_hotkey(unsigned scancode) {
  switch (scancode) {
    case SDL_SCANCODE_G: set_grab(!grabbed_); return true;
    case SDL_SCANCODE_F:
      full_screen_ = !full_screen_;
      sdl_->set_window_fullscreen(handles_->window, full_screen_ ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
      return true;
    case SDL_SCANCODE_EQUALS:
    case SDL_SCANCODE_KP_PLUS:
    case SDL_SCANCODE_MINUS:
    case SDL_SCANCODE_KP_MINUS: {
      const bool larger = scancode == SDL_SCANCODE_EQUALS || scancode == SDL_SCANCODE_KP_PLUS;
      scale_percent_ = std::clamp(larger ? scale_percent_ + kScaleStep : scale_percent_ - kScaleStep, kScaleStep, 400u);
      apply_scale();
      return true;
    }
    case SDL_SCANCODE_U:
      scale_percent_ = 100;
      apply_scale();
      return true;
    default: return false;
  }
}

void SdlWindow::set_grab(bool grab) {
  if (grabbed_ == grab) return;
  grabbed_ = grab;
  sdl_->set_relative_mouse_mode(grab ? SDL_TRUE : SDL_FALSE);
  sdl_->set_window_grab(handles_->window, grab ? SDL_TRUE : SDL_FALSE);
  update_title();
}

void SdlWindow::update_title() {
  std::string title = "Xiaoma (" + machine_.config().name + ")";
  if (grabbed_) title += " - press Ctrl-Alt-G to release the mouse";
  sdl_->set_window_title(handles_->window, title.c_str());
}

}  // namespace xm::display
